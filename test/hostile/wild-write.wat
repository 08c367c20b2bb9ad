;; expect: invalid
;; Scatters words over all of the memory it can reach, the output block included.
(module
  (import "env" "memory" (memory 1))
  (global (export "__heap_base") i32 (i32.const 1024))
  (func (export "rank") (param $frame i32) (result i32)
    (local $at i32) (local $end i32)
    (local.set $at (local.get $frame))
    (local.set $end (i32.add (local.get $frame) (i32.load offset=8 (local.get $frame))))
    (loop $next
      (i32.store (local.get $at) (i32.const 0xdeadbeef))
      (local.set $at (i32.add (local.get $at) (i32.const 12)))
      (br_if $next (i32.lt_u (local.get $at) (i32.sub (local.get $end) (i32.const 4)))))
    i32.const 0))
