;; expect: refused IM_ADMISSION_REFERENCE_TYPES
;; Holds a passive element segment to fill its table from.
(module
  (import "env" "memory" (memory 1))
  (global (export "__heap_base") i32 (i32.const 1024))
  (table 100 funcref)
  (elem $some func 0)
  (func (export "rank") (param i32) (result i32) (table.init $some (i32.const 0) (i32.const 0) (i32.const 1)) (i32.const 0)))
