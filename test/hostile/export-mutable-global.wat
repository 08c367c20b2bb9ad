;; expect: refused IM_ADMISSION_EXPORT_MUTABLE
;; Lets the outside change what it computes with.
(module
  (import "env" "memory" (memory 1))
  (global (export "__heap_base") i32 (i32.const 1024))
  (global (export "knob") (mut i32) (i32.const 0))
  (func (export "rank") (param i32) (result i32) (i32.const 0)))
