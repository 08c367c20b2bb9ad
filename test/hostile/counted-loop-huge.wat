;; expect: spent
;; Two thousand million iterations, known at entry: refused before the first.
(module
  (import "env" "memory" (memory 1))
  (global (export "__heap_base") i32 (i32.const 1024))
  (func (export "rank") (param $frame i32) (result i32)
    (local $i i32)
    (loop $next
      (if (i32.lt_u (local.get $i) (i32.const 0x7fffffff))
        (then
          (local.set $i (i32.add (local.get $i) (i32.const 1)))
          (br $next))))
    i32.const 0))
