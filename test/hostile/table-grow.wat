;; expect: refused IM_ADMISSION_TABLE_CHANGE
;; Grows its table: a million entries are 100 ms. What it would fill them with does not matter.
(module
  (import "env" "memory" (memory 1))
  (global (export "__heap_base") i32 (i32.const 1024))
  (table 1 funcref)
  (func (export "rank") (param i32) (result i32) (table.grow (unreachable) (i32.const 1000000))))
