;; expect: trap
;; Moves its stack pointer, then traps: the instance is never sound again.
(module
  (import "env" "memory" (memory 1))
  (global (export "__heap_base") i32 (i32.const 1024))
  (global $sp (mut i32) (i32.const 1024))
  (func (export "rank") (param $frame i32) (result i32)
    (global.set $sp (i32.sub (global.get $sp) (i32.const 64)))
    (i32.store (global.get $sp) (local.get $frame))
    unreachable))
