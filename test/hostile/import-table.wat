;; expect: refused IM_ADMISSION_IMPORT
;; Wants a table of the host's.
(module
  (import "env" "table" (table 1 funcref))
  (import "env" "memory" (memory 1))
  (global (export "__heap_base") i32 (i32.const 1024))
  (func (export "rank") (param i32) (result i32) (i32.const 0)))
