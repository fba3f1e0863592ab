#pragma once

#include <axvm/observe/describe_host.hpp>
#include <axvm/observe/describe_json.hpp>
#include <axvm/observe/describe_svg.hpp>
#include <axvm/observe/describe_text.hpp>
#include <axvm/observe/device_lines.hpp>
#include <axvm/observe/json_writer.hpp>
#include <axvm/observe/notation.hpp>
#include <axvm/observe/plan_text.hpp>
#include <axvm/observe/svg_canvas.hpp>
#include <axvm/observe/text_table.hpp>
