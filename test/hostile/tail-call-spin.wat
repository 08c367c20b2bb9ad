;; expect: refused IM_ADMISSION_TAIL_CALL
;; No loop header and no stack: calls itself in tail position for ever.
(module
  (import "env" "memory" (memory 1))
  (global (export "__heap_base") i32 (i32.const 1024))
  (func $spin (export "rank") (param i32) (result i32) (return_call $spin (local.get 0))))
