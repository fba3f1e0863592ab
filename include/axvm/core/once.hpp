#pragma once

/// An attribute of functions that are never worth inlining and that much else hangs on: `[[nodiscard, AXVM_ONCE]]`. It
/// says nothing by itself. Where axvm_precompile (precompile.cmake) has the framework's code compiled once, in a file
/// of its own, it keeps the compiler from looking at such a function, and at what only that one calls, in every other
/// file: g++ optimises what it might inline before it knows whether it will, and that took most of its time.
///
/// Not for templates, nor for constructors and destructors, which g++ looks at all the same; for those that should be
/// kept out, a function that they call.
#ifndef AXVM_ONCE
#define AXVM_ONCE
#endif
