;; expect: refused IM_ADMISSION_TABLE_SIZE
;; Declares ten million table entries: they are allocated with the instance.
(module
  (import "env" "memory" (memory 1))
  (global (export "__heap_base") i32 (i32.const 1024))
  (table 10000000 funcref)
  (func (export "rank") (param i32) (result i32) (i32.const 0)))
