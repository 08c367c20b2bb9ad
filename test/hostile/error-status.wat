;; expect: invalid
;; Says it cannot decide, every time.
(module
  (import "env" "memory" (memory 1))
  (global (export "__heap_base") i32 (i32.const 1024))
  (func (export "rank") (param $frame i32) (result i32)
    (local $out i32)
    (local.set $out (i32.add (local.get $frame) (i32.load offset=36 (local.get $frame))))
    
    i32.const -1))
