;; expect: refused IM_ADMISSION_REFERENCE_TYPES
;; A second table.
(module
  (import "env" "memory" (memory 1))
  (global (export "__heap_base") i32 (i32.const 1024))
  (table $a 1 funcref)
  (table $b 1 funcref)
  (func (export "rank") (param i32) (result i32) (i32.const 0)))
