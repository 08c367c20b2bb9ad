;; expect: spent
;; Each fill is one instruction and 64 KiB of work.
(module
  (import "env" "memory" (memory 1))
  (global (export "__heap_base") i32 (i32.const 1024))
  (func (export "rank") (param $frame i32) (result i32)
    (loop $spin
      (memory.fill (i32.const 0) (i32.const 0) (i32.const 65536))
      (br $spin))
    i32.const 0))
