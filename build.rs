//! Link flags of the extension.

fn main() {
    println!("cargo:rerun-if-changed=build.rs");
    // PHP unloads an extension with dlclose() at shutdown. A discovery thread may still be waiting
    // for an endpoint then: `nodelete` keeps its code mapped (ld(1), dlopen(3) RTLD_NODELETE).
    println!("cargo:rustc-cdylib-link-arg=-Wl,-z,nodelete");
}
