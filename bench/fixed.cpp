// What bench/compile --check measures by: a program that has nothing of axvm in it and never changes, and that asks of
// a compiler what axvm asks of it: the standard library's headers, templates, many small functions.
#include <algorithm>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <regex>
#include <string>
#include <tuple>
#include <vector>

template <int N>
struct Step {
  std::optional<std::string> name{std::to_string(N)};
  std::vector<std::unique_ptr<int>> numbers;
  std::map<int, std::tuple<int, std::string>> table;
  std::function<int(int)> next = [](int value) { return value + N; };

  int run(int value) {
    numbers.push_back(std::make_unique<int>(next(value)));
    table[value] = {N, *name};
    std::sort(numbers.begin(), numbers.end(), [](auto const& a, auto const& b) { return *a < *b; });
    return *numbers.front() + std::get<0>(table[value]);
  }
};

int main(int argc, char** argv) {
  int value = argc;
  value = Step<0>{}.run(value) + Step<1>{}.run(value) + Step<2>{}.run(value) + Step<3>{}.run(value);
  return std::regex_match(argv[0], std::regex("[a-z]+")) ? value : 0;
}
