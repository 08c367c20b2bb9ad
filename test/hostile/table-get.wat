;; expect: refused IM_ADMISSION_REFERENCE_TYPES
;; Reads a reference from its table, to fill the table with it.
(module
  (import "env" "memory" (memory 1))
  (global (export "__heap_base") i32 (i32.const 1024))
  (table 100 funcref)
  (func (export "rank") (param i32) (result i32) (table.fill (i32.const 0) (table.get (i32.const 1)) (i32.const 99)) (i32.const 0)))
