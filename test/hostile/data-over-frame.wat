;; expect: refused IM_ADMISSION_DATA
;; A data segment where the frame will be.
(module
  (import "env" "memory" (memory 1))
  (global (export "__heap_base") i32 (i32.const 1024))
  (data (i32.const 1000) "0123456789abcdef0123456789abcdef")
  (func (export "rank") (param i32) (result i32) (i32.const 0)))
