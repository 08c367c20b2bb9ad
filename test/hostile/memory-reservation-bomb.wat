;; expect: refused IM_ADMISSION_MEMORY_SIZE
;; Asks for four gigabytes for every instance.
(module
  (import "env" "memory" (memory 65536))
  (global (export "__heap_base") i32 (i32.const 1024))
  (func (export "rank") (param i32) (result i32) (i32.const 0)))
