;; expect: ok-but-impure
;; Copies a passive segment on its first call and drops it: later calls cost other fuel.
(module
  (import "env" "memory" (memory 1))
  (global (export "__heap_base") i32 (i32.const 1024))
  (global $done (mut i32) (i32.const 0))
  (data $blob "0123456789abcdef")
  ;; First eligible row, or -1: a word of the bitmap at a time.
  (func $first_eligible (param $frame i32) (result i32)
    (local $word i32) (local $bits i32)
    loop $next
      local.get $word
      i32.const 5
      i32.shl
      local.get $frame
      i32.load offset=20
      i32.ge_u
      if
        i32.const -1
        return
      end
      local.get $frame
      local.get $frame
      i32.load offset=40
      i32.add
      local.get $word
      i32.const 2
      i32.shl
      i32.add
      i32.load
      local.tee $bits
      i32.eqz
      if
        local.get $word
        i32.const 1
        i32.add
        local.set $word
        br $next
      end
    end
    local.get $word
    i32.const 5
    i32.shl
    local.get $bits
    i32.ctz
    i32.add)
  ;; Writes verdict route, one row, score 1.
  (func $route (param $frame i32) (param $row i32) (result i32)
    (local $out i32)
    (local.set $out (i32.add (local.get $frame) (i32.load offset=36 (local.get $frame))))
    (i32.store offset=4 (local.get $out) (i32.const 1))
    (i32.store offset=52 (local.get $out) (local.get $row))
    (f32.store offset=116 (local.get $out) (f32.const 1))
    (i32.const 0))
  (func (export "rank") (param $frame i32) (result i32)
    (local $status i32)
    (local.set $status (call $route (local.get $frame) (call $first_eligible (local.get $frame))))
    (if (i32.eqz (global.get $done))
      (then
        (memory.init $blob (i32.const 0) (i32.const 0) (i32.const 16))
        (data.drop $blob)
        (global.set $done (i32.const 1))))
    local.get $status))
