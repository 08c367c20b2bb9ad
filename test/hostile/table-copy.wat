;; expect: refused IM_ADMISSION_TABLE_CHANGE
;; Copies table entries in a loop, which no fuel would see.
(module
  (import "env" "memory" (memory 1))
  (global (export "__heap_base") i32 (i32.const 1024))
  (table 100 funcref)
  (func (export "rank") (param i32) (result i32) (loop $spin (table.copy (i32.const 0) (i32.const 50) (i32.const 50)) (br $spin)) (i32.const 0)))
