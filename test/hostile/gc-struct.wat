;; expect: refused IM_ADMISSION_GC
;; Declares a garbage-collected type.
(module
  (import "env" "memory" (memory 1))
  (global (export "__heap_base") i32 (i32.const 1024))
  (type $box (struct (field i32)))
  (func (export "rank") (param i32) (result i32) (i32.const 0)))
