;; expect: refused IM_ADMISSION_TABLE_CHANGE
;; Fills its table with nothing.
(module
  (import "env" "memory" (memory 1))
  (global (export "__heap_base") i32 (i32.const 1024))
  (table 100 funcref)
  (func (export "rank") (param i32) (result i32) (table.fill (i32.const 0) (unreachable) (i32.const 99)) (i32.const 0)))
