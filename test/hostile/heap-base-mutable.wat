;; expect: refused IM_ADMISSION_HEAP_BASE
;; May move its heap base under the frame.
(module
  (import "env" "memory" (memory 1))
  (global (export "__heap_base") (mut i32) (i32.const 1024))
  (func (export "rank") (param i32) (result i32) (i32.const 0)))
