;; expect: refused IM_ADMISSION_MEMORY
;; Has no memory: there is no frame it could read.
(module
  (global (export "__heap_base") i32 (i32.const 1024))
  (func (export "rank") (param i32) (result i32) (i32.const 0)))
