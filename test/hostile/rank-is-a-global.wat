;; expect: refused IM_ADMISSION_HOOK
;; A rank that is not a function.
(module
  (import "env" "memory" (memory 1))
  (global (export "__heap_base") i32 (i32.const 1024))
  (global (export "rank") i32 (i32.const 0)))
