;; expect: trap
;; Reads beyond the memory.
(module
  (import "env" "memory" (memory 1))
  (global (export "__heap_base") i32 (i32.const 1024))
  (func (export "rank") (param $frame i32) (result i32)
    (i32.load (i32.const 0xfffffff0))))
