;; expect: refused IM_ADMISSION_HOOK
;; Decides nothing.
(module
  (import "env" "memory" (memory 1))
  (global (export "__heap_base") i32 (i32.const 1024))
  (func (export "route") (param i32) (result i32) (i32.const 0)))
