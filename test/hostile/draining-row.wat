;; expect: invalid
;; The first row that is not eligible (draining, ejected, tried), or one past the last.
(module
  (import "env" "memory" (memory 1))
  (global (export "__heap_base") i32 (i32.const 1024))
  (func (export "rank") (param $frame i32) (result i32)
    (local $out i32) (local $row i32)
    (local.set $out (i32.add (local.get $frame) (i32.load offset=36 (local.get $frame))))
    (block $found
      (loop $next
        (br_if $found (i32.ge_u (local.get $row) (i32.load offset=20 (local.get $frame))))
        (br_if $found (i32.eqz (i32.and (i32.const 1) (i32.shr_u
          (i32.load (i32.add (i32.add (local.get $frame) (i32.load offset=40 (local.get $frame)))
            (i32.shl (i32.shr_u (local.get $row) (i32.const 5)) (i32.const 2))))
          (i32.and (local.get $row) (i32.const 31))))))
        (local.set $row (i32.add (local.get $row) (i32.const 1)))
        (br $next)))
    (i32.store offset=4 (local.get $out) (i32.const 1))
    (i32.store offset=52 (local.get $out) (local.get $row))
    i32.const 0))
