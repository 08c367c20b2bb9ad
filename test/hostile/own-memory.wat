;; expect: refused IM_ADMISSION_MEMORY
;; Brings its own memory instead of taking the host's.
(module
  (memory (export "memory") 1)
  (global (export "__heap_base") i32 (i32.const 1024))
  (func (export "rank") (param i32) (result i32) (i32.const 0)))
