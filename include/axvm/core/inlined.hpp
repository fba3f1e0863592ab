#pragma once

/// An attribute of functions that are to be inlined wherever they are called, for what the compiler then sees of them
/// there; but only where it optimises. Elsewhere it would be the same text several times, and no better for it.
#ifndef AXVM_INLINED
#ifdef __OPTIMIZE__
#define AXVM_INLINED gnu::always_inline
#else
#define AXVM_INLINED
#endif
#endif
