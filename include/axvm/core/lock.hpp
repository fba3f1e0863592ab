#pragma once

namespace axvm::inline v1 {

/// A lock for what only one thread ever touches: costs nothing.
struct NoLock {
  void lock() {}
  void unlock() {}
};

/// Holds a lock for a scope.
template <class Lock>
class [[nodiscard]] Holding {
 public:
  explicit Holding(Lock& lock) : lock_(lock) { lock_.lock(); }
  ~Holding() { lock_.unlock(); }
  Holding(Holding const&) = delete;
  Holding& operator=(Holding const&) = delete;

 private:
  Lock& lock_;
};

}  // namespace axvm::inline v1
