// SPDX-License-Identifier: MIT
// HWNAS_TEST_SANITIZED is defined in builds with a sanitizer, which keeps memory of its own.
#pragma once

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define HWNAS_TEST_SANITIZED
#elif defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer) || __has_feature(memory_sanitizer)
#define HWNAS_TEST_SANITIZED
#endif
#endif
