;; expect: spent
;; Each copy is one instruction and 32 KiB of work.
(module
  (import "env" "memory" (memory 1))
  (global (export "__heap_base") i32 (i32.const 1024))
  (func (export "rank") (param $frame i32) (result i32)
    (loop $spin
      (memory.copy (i32.const 0) (i32.const 32768) (i32.const 32768))
      (br $spin))
    i32.const 0))
