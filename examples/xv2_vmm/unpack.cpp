#include <axvm/bind/unpack_source.hpp>
