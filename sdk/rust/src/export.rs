//! The macro that makes a crate a strategy: hooks and manifest as exports of a WebAssembly module, or as the one struct a native library returns.
//! What it defines begins with `infermesh_`, because items of a macro are seen by the paths an author passes to it.

/// `strategy!(manifest: manifest::MANIFEST, rank: rank, observe: learn);` with the hooks strategy.yaml lists: `rank` and `admit` take `&mut Frame`,
/// `observe` and `tick` take `&mut Observation`, `plan` takes `&mut PlanFrame`; all return `Status`. Invoked once, at the top of the crate.
#[macro_export]
macro_rules! strategy {
    (manifest: $manifest:expr, $($hook:ident: $function:path),+ $(,)?) => {
        #[cfg(target_arch = "wasm32")]
        #[allow(unused_unsafe)]
        const _: () = {
            #[link_section = "infermesh.manifest"]
            #[used]
            static INFERMESH_MANIFEST: [u8; $manifest.len()] = *$manifest;

            #[export_name = "init"]
            unsafe extern "C" fn infermesh_init(frame: *mut u8) -> i32 {
                unsafe { $crate::raw::init(frame) }
            }
            $($crate::strategy!(@module $hook $function);)+
        };
        #[cfg(not(target_arch = "wasm32"))]
        #[allow(unused_unsafe)]
        const _: () = {
            unsafe extern "C" fn infermesh_init(frame: *mut u8) -> i32 {
                unsafe { $crate::raw::init(frame) }
            }
            static INFERMESH_STRATEGY: $crate::abi::NativeStrategy = {
                let manifest: &'static [u8] = $manifest;
                #[allow(unused_mut)]
                let mut table = $crate::abi::NativeStrategy {
                    magic: $crate::abi::NATIVE_MAGIC,
                    abi_major: $crate::abi::NATIVE_ABI_MAJOR as u16,
                    abi_minor: $crate::abi::NATIVE_ABI_MINOR as u16,
                    struct_bytes: ::core::mem::size_of::<$crate::abi::NativeStrategy>() as u32,
                    frame_abi_version: $crate::abi::ABI_VERSION,
                    capabilities: $crate::abi::NATIVE_HAS_INIT,
                    manifest: manifest.as_ptr(),
                    manifest_bytes: manifest.len() as u64,
                    init: Some(infermesh_init),
                    rank: None,
                    plan: None,
                    admit: None,
                    observe: None,
                    tick: None,
                };
                $($crate::strategy!(@native table $hook $function);)+
                table
            };

            #[export_name = "infermesh_strategy"]
            extern "C" fn infermesh_strategy() -> *const $crate::abi::NativeStrategy {
                &INFERMESH_STRATEGY
            }
        };
    };
    (@module rank $function:path) => { $crate::strategy!(@export "rank" decide infermesh_rank $function); };
    (@module admit $function:path) => { $crate::strategy!(@export "admit" decide infermesh_admit $function); };
    (@module plan $function:path) => { $crate::strategy!(@export "plan" plan infermesh_plan $function); };
    (@module tick $function:path) => {
        #[export_name = "tick"]
        unsafe extern "C" fn infermesh_tick(frame: *mut u8) -> i32 {
            unsafe { $crate::raw::observe(frame, 0, $function) }
        }
    };
    (@module observe $function:path) => {
        #[export_name = "observe"]
        unsafe extern "C" fn infermesh_observe(frame: *mut u8, count: i32) -> i32 {
            unsafe { $crate::raw::observe(frame, count, $function) }
        }
    };
    (@export $name:literal $way:ident $symbol:ident $function:path) => {
        #[export_name = $name]
        unsafe extern "C" fn $symbol(frame: *mut u8) -> i32 {
            unsafe { $crate::raw::$way(frame, $function) }
        }
    };
    (@native $table:ident rank $function:path) => { $crate::strategy!(@set $table rank NATIVE_HAS_RANK decide $function); };
    (@native $table:ident admit $function:path) => { $crate::strategy!(@set $table admit NATIVE_HAS_ADMIT decide $function); };
    (@native $table:ident plan $function:path) => { $crate::strategy!(@set $table plan NATIVE_HAS_PLAN plan $function); };
    (@native $table:ident tick $function:path) => {
        unsafe extern "C" fn infermesh_tick(frame: *mut u8) -> i32 {
            unsafe { $crate::raw::observe(frame, 0, $function) }
        }
        $table.tick = Some(infermesh_tick);
        $table.capabilities |= $crate::abi::NATIVE_HAS_TICK;
    };
    (@native $table:ident observe $function:path) => {
        unsafe extern "C" fn infermesh_observe(frame: *mut u8, count: i32) -> i32 {
            unsafe { $crate::raw::observe(frame, count, $function) }
        }
        $table.observe = Some(infermesh_observe);
        $table.capabilities |= $crate::abi::NATIVE_HAS_OBSERVE;
    };
    (@set $table:ident $hook:ident $bit:ident $way:ident $function:path) => {
        $table.$hook = {
            unsafe extern "C" fn infermesh_call(frame: *mut u8) -> i32 {
                unsafe { $crate::raw::$way(frame, $function) }
            }
            Some(infermesh_call)
        };
        $table.capabilities |= $crate::abi::$bit;
    };
}
