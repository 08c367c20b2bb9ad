;; expect: refused IM_ADMISSION_MEMORY_SIZE
;; Puts its heap base at two gigabytes, to have as much allocated for every instance.
(module
  (import "env" "memory" (memory 1))
  (global (export "__heap_base") i32 (i32.const 0x7fffffff))
  (func (export "rank") (param i32) (result i32) (i32.const 0)))
