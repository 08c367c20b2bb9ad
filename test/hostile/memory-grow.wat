;; expect: refused IM_ADMISSION_MEMORY_GROW
;; Grows its memory, which takes the buffer from under the host.
(module
  (import "env" "memory" (memory 1))
  (global (export "__heap_base") i32 (i32.const 1024))
  (func (export "rank") (param i32) (result i32) (memory.grow (i32.const 1))))
