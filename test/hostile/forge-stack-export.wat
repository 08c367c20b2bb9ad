;; expect: refused IM_ADMISSION_EXPORT_RESERVED
;; Exports a function under the name of the host's depth counter.
(module
  (import "env" "memory" (memory 1))
  (global (export "__heap_base") i32 (i32.const 1024))
  (func (export "__im_stack"))
  (func (export "rank") (param i32) (result i32) (i32.const 0)))
