;; expect: refused IM_ADMISSION_TAIL_CALL
;; The same through the table.
(module
  (import "env" "memory" (memory 1))
  (global (export "__heap_base") i32 (i32.const 1024))
  (table 1 funcref)
  (elem (i32.const 0) $spin)
  (func $spin (export "rank") (param i32) (result i32) (return_call_indirect (param i32) (result i32) (local.get 0) (i32.const 0))))
