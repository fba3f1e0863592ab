#pragma once

#include <utility>

namespace axvm::inline v1 {

/// Owns items that stay where they are, in the order in which they were added. For a few items that are looked through
/// one by one, off the exit path: a std::vector of std::unique_ptr makes twelve times as many functions, which every
/// program that builds a machine would have to compile.
template <class T>
class List {
 public:
  List() = default;
  List(List const&) = delete;
  List& operator=(List const&) = delete;
  List(List&& other) noexcept : first_(std::exchange(other.first_, nullptr)) {}
  List& operator=(List&& other) noexcept {
    std::swap(first_, other.first_);
    return *this;
  }
  ~List() { clear(); }

  /// Builds an item at the end.
  template <class... Arguments>
  T& add(Arguments&&... arguments) {
    Node* const node = new Node{T(std::forward<Arguments>(arguments)...), nullptr};
    *end() = node;
    return node->item;
  }

  /// Calls `visit(item)` for each.
  template <class Visit>
  void for_each(Visit const& visit) {
    for (Node* node = first_; node != nullptr; node = node->next) visit(node->item);
  }

  /// Calls `visit(item)` for each until it returns true, and returns that item; null if it never does.
  template <class Visit>
  T* find(Visit const& visit) {
    for (Node* node = first_; node != nullptr; node = node->next)
      if (visit(node->item)) return &node->item;
    return nullptr;
  }

  /// Destroys the items for which `visit(item)` is true and returns whether there were any.
  template <class Visit>
  bool remove(Visit const& visit) {
    bool removed = false;
    for (Node** at = &first_; *at != nullptr;) {
      Node* const node = *at;
      if (!visit(std::as_const(node->item))) {
        at = &node->next;
        continue;
      }
      *at = node->next;
      delete node;
      removed = true;
    }
    return removed;
  }

  void clear() {
    while (first_ != nullptr) delete std::exchange(first_, first_->next);
  }

 private:
  struct Node {
    T item;
    Node* next;
  };

  Node** end() {
    Node** at = &first_;
    while (*at != nullptr) at = &(*at)->next;
    return at;
  }

  Node* first_ = nullptr;
};

}  // namespace axvm::inline v1
