;; expect: invalid
;; Overwrites the whole frame, header included.
(module
  (import "env" "memory" (memory 1))
  (global (export "__heap_base") i32 (i32.const 1024))
  (func (export "rank") (param $frame i32) (result i32)
    (memory.fill (local.get $frame) (i32.const 0xff) (i32.load offset=8 (local.get $frame)))
    i32.const 0))
