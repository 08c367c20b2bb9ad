;; expect: invalid
;; Row -1.
(module
  (import "env" "memory" (memory 1))
  (global (export "__heap_base") i32 (i32.const 1024))
  (func (export "rank") (param $frame i32) (result i32)
    (local $out i32)
    (local.set $out (i32.add (local.get $frame) (i32.load offset=36 (local.get $frame))))
    (i32.store offset=4 (local.get $out) (i32.const 1))
    (i32.store offset=52 (local.get $out) (i32.const -1))
    i32.const 0))
