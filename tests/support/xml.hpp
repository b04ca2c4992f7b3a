// SPDX-License-Identifier: MIT
// Whether a text is well-formed XML, told to the byte; enough for pages that use no more of it.
#pragma once

#include <fmt/format.h>

#include <set>
#include <string>
#include <string_view>
#include <vector>

namespace hwnas_test {

/// "" for a well-formed document with one root, else what is wrong and where.
inline std::string xml_problem(std::string_view text) {
    std::size_t at = 0;
    const auto wrong = [&](std::string_view what) { return fmt::format("byte {}: {}", at, what); };
    const auto name_end = [&](std::size_t from) {
        while (from < text.size() && (std::isalnum(static_cast<unsigned char>(text[from])) || text[from] == '-' ||
                                      text[from] == ':' || text[from] == '_'))
            ++from;
        return from;
    };
    const auto entities = [&](std::string_view part) {
        for (auto amp = part.find('&'); amp != std::string_view::npos; amp = part.find('&', amp + 1)) {
            const auto end = part.find(';', amp);
            if (end == std::string_view::npos) return false;
            const auto name = part.substr(amp + 1, end - amp - 1);
            if (name != "amp" && name != "lt" && name != "gt" && name != "quot" && name != "#39") return false;
        }
        for (const char c : part)
            if (static_cast<unsigned char>(c) < 0x20 && c != '\n' && c != '\t') return false;
        return true;
    };
    if (text.rfind("<!DOCTYPE html>\n", 0) == 0) at = 16;
    std::vector<std::string> open;
    bool rooted = false;
    while (at < text.size()) {
        if (text[at] != '<') {
            const auto end = std::min(text.find('<', at), text.size());
            if (!entities(text.substr(at, end - at))) return wrong("an entity or a control character");
            if (open.empty() && text.substr(at, end - at).find_first_not_of("\n ") != std::string_view::npos)
                return wrong("text outside of the root");
            at = end;
            continue;
        }
        const bool closing = text.substr(at, 2) == "</";
        const std::size_t begin = at + (closing ? 2 : 1), end = name_end(begin);
        const std::string name(text.substr(begin, end - begin));
        if (name.empty()) return wrong("a \"<\" that begins no tag");
        at = end;
        if (closing) {
            if (open.empty() || open.back() != name) return wrong("</" + name + "> closes nothing");
            open.pop_back();
            if (at >= text.size() || text[at] != '>') return wrong("a closing tag with more in it");
            ++at;
            continue;
        }
        if (open.empty() && rooted) return wrong("a second root");
        rooted = true;
        std::set<std::string> attributes;
        for (;;) {
            while (at < text.size() && (text[at] == ' ' || text[at] == '\n')) ++at;
            if (text.substr(at, 2) == "/>") {
                at += 2;
                break;
            }
            if (at < text.size() && text[at] == '>') {
                open.push_back(name);
                ++at;
                break;
            }
            const std::size_t stop = name_end(at);
            const std::string attribute(text.substr(at, stop - at));
            if (attribute.empty() || !attributes.insert(attribute).second) return wrong("no attribute, or one twice");
            at = stop;
            if (text.substr(at, 2) != "=\"") return wrong("an attribute without a quoted value");
            const auto quote = text.find('"', at + 2);
            if (quote == std::string_view::npos) return wrong("a value that does not end");
            const auto value = text.substr(at + 2, quote - at - 2);
            if (value.find('<') != std::string_view::npos || !entities(value)) return wrong("a bad value");
            at = quote + 1;
        }
    }
    return open.empty() ? rooted ? "" : "no root" : wrong("<" + open.back() + "> is never closed");
}

}  // namespace hwnas_test
