;; expect: spent
;; Initialises the same bytes again and again from a passive segment.
(module
  (import "env" "memory" (memory 1))
  (global (export "__heap_base") i32 (i32.const 1024))
  (data $blob "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef")
  (func (export "rank") (param $frame i32) (result i32)
    (loop $spin
      (memory.init $blob (i32.const 0) (i32.const 0) (i32.const 64))
      (br $spin))
    i32.const 0))
