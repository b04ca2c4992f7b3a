// SPDX-License-Identifier: MIT
// The style sheet of report.html: colours of both themes from report/svg.hpp, type, places of the parts, paper.
#pragma once

#include <hwnas/report/svg.hpp>

namespace hwnas::svg {

/// The CSS of report.html; it has no url() and no import, so that the page loads nothing.
inline std::string style_sheet() {
    const auto colours = [](bool dark, std::string_view more) {
        std::string text(more);
        for (std::size_t i = 0; i < palette.size(); ++i)
            text += fmt::format(" --c{}: {}; --on{}: {};", i, dark ? palette[i].dark : palette[i].light, i,
                                dark ? palette[i].on_dark : palette[i].on_light);
        return text;
    };
    const std::string light = colours(
                          false, fmt::format("--page: {}; --text: {}; --soft: {}; --line: #d4d9e0; --faint: #f3f5f8; "
                                             "--base: #8a93a0;",
                                             page_light, text_light, soft_light)),
                      dark = colours(
                          true, fmt::format("--page: {}; --text: {}; --soft: {}; --line: #353c46; --faint: #1e242c; "
                                            "--base: #78828f;",
                                            page_dark, text_dark, soft_dark));
    std::string text = ":root { color-scheme: light; " + light + " }\n";
    text += "@media (prefers-color-scheme: dark) { :root { color-scheme: dark; " + dark + " } }\n";
    text += "@media print { :root { color-scheme: light; " + light + " } }\n";
    text += R"(* { box-sizing: border-box; }
html { -webkit-text-size-adjust: 100%; text-size-adjust: 100%; }
body { margin: 0 auto; max-width: 1180px; padding: 28px 24px 64px; background: var(--page); color: var(--text);
  font: 16px/1.55 system-ui, -apple-system, "Segoe UI", Roboto, "Noto Sans", "Liberation Sans", Arial, sans-serif;
  font-variant-numeric: tabular-nums; overflow-wrap: anywhere; }
h1 { font-size: 30px; line-height: 1.2; margin: 0 0 6px; letter-spacing: -0.01em; }
h2 { font-size: 22px; line-height: 1.25; margin: 0 0 6px; }
h3 { font-size: 16px; margin: 22px 0 6px; }
h4 { font-size: 14px; margin: 0 0 4px; color: var(--soft); font-weight: 600; }
p { margin: 6px 0 12px; max-width: 74ch; }
.summary, .soft, .note, figcaption { color: var(--soft); }
.soft { font-weight: 400; font-size: 14px; }
.note, figcaption { font-size: 14px; }
section { border-top: 1px solid var(--line); padding: 26px 0 14px; margin-top: 22px; }
.figures { display: grid; grid-template-columns: repeat(auto-fit, minmax(150px, 1fr)); gap: 12px; margin: 20px 0 0; }
.figures div { background: var(--faint); border-radius: 8px; padding: 12px 14px; display: flex; flex-direction: column-reverse; justify-content: flex-end; }
.figures dt { font-size: 13px; color: var(--soft); line-height: 1.35; }
.figures dd { margin: 0 0 2px; font-size: 20px; font-weight: 650; line-height: 1.3; }
.scroll { overflow-x: auto; max-width: 100%; }
table { border-collapse: collapse; font-size: 14.5px; line-height: 1.4; overflow-wrap: normal; }
th, td { padding: 5px 14px 5px 0; text-align: right; white-space: nowrap; border-bottom: 1px solid var(--line); font-weight: 400; }
th:first-child { text-align: left; }
th + td, th + th { padding-left: 10px; }
thead th, .part th { color: var(--soft); font-size: 13px; font-weight: 600; }
thead th { vertical-align: bottom; }
.part th { padding-top: 14px; }
tbody tr:last-child > * { border-bottom: 0; }
table.text th, table.text td { text-align: left; vertical-align: top; }
table.text td { white-space: normal; overflow-wrap: anywhere; }
#family td { min-width: 84px; }
#family thead th { font-size: 15px; color: var(--text); white-space: normal; }
.beside { display: grid; grid-template-columns: minmax(0, 1fr); gap: 8px 56px; }
@media (min-width: 900px) { .beside { grid-template-columns: minmax(0, max-content) minmax(260px, 1fr); } }
.beside > * { min-width: 0; }
.note dl { margin: 0 0 14px; display: grid; grid-template-columns: max-content minmax(0, 1fr); gap: 4px 16px; max-width: 60ch; }
.note dt { color: var(--text); font-weight: 600; }
.note dd { margin: 0; }
.grid, .pair, .cells { display: grid; gap: 8px 36px; align-items: start; }
.grid { grid-template-columns: repeat(auto-fill, minmax(min(100%, 320px), 1fr)); }
.pair, .cells { grid-template-columns: repeat(auto-fit, minmax(min(100%, 400px), 1fr)); }
.grid > *, .pair > *, .cells > * { min-width: 0; }
.card h3 { margin-top: 10px; }
figure { margin: 10px 0 14px; }
figcaption { margin-top: 4px; max-width: 60ch; }
svg { display: block; width: 100%; height: auto; max-width: 420px; overflow: hidden; }
.pair svg { max-width: 540px; }
details { margin-top: 6px; font-size: 14px; }
summary { color: var(--soft); cursor: pointer; width: max-content; padding: 4px 0; }
.missing { background: var(--faint); border-left: 3px solid var(--base); padding: 10px 14px; border-radius: 0 6px 6px 0; align-self: start; }
code { font: 13.5px/1.5 ui-monospace, "SFMono-Regular", Menlo, Consolas, "Liberation Mono", monospace; }
code span { white-space: nowrap; }
pre { background: var(--faint); border-radius: 8px; padding: 12px 14px; white-space: pre-wrap; margin: 6px 0 16px; }
.key { list-style: none; display: flex; flex-wrap: wrap; gap: 6px 18px; padding: 0; margin: 8px 0 4px; font-size: 14px; }
.key li { display: flex; align-items: center; gap: 7px; min-width: 0; }
.key .code { flex: none; min-width: 22px; height: 22px; border-radius: 11px; padding: 0 6px; font-size: 12px; font-weight: 650;
  line-height: 22px; text-align: center; background: var(--c); color: var(--on); }
svg text { font-size: 12px; fill: var(--text); }
svg .tick { font-size: 11px; fill: var(--soft); }
svg .axis { fill: var(--soft); }
svg .strong { font-weight: 650; }
svg .on { font-size: 11px; font-weight: 650; fill: var(--on); }

line.grid { stroke: var(--line); stroke-width: 1; }
.base { stroke: var(--base); stroke-width: 1; }
.guide { stroke: var(--text); stroke-width: 1.25; stroke-dasharray: 4 3; }
.leader { stroke: var(--base); stroke-width: 0.75; }
.curve { fill: none; stroke: var(--c); stroke-width: 2.25; stroke-linejoin: round; stroke-linecap: round; }
.dash1 { stroke-dasharray: 7 5; } .dash2 { stroke-dasharray: 2 5; } .dash3 { stroke-dasharray: 9 4 2 4; }
.edge { fill: none; stroke: var(--c); stroke-width: 2; }
.mark { fill: var(--c); stroke: var(--page); stroke-width: 1; }
.ring { fill: var(--page); fill-opacity: 0.6; stroke: var(--c); stroke-width: 1.5; }
.chip { fill: var(--c); stroke: var(--page); stroke-width: 1.5; }
.track { fill: var(--faint); }
abbr { text-decoration: none; }
.point { fill: var(--c); stroke: var(--page); stroke-width: 0.75; }
.area { fill: var(--c); stroke: var(--c); stroke-width: 0.4; }
.tied { fill: var(--line); stroke: var(--line); }
.level0 { opacity: 0.55; } .level1 { opacity: 0.78; }
.outline { fill: none; stroke: var(--base); stroke-width: 1; }
.pin { fill: var(--page); stroke: var(--text); stroke-width: 1.25; }
.vertex { fill: var(--page); stroke: var(--base); stroke-width: 1.5; }
.input { fill: var(--faint); }
@media (max-width: 600px) {
  body { padding: 18px 16px 48px; }
  h1 { font-size: 25px; } h2 { font-size: 20px; }
  .figures { grid-template-columns: repeat(auto-fit, minmax(130px, 1fr)); gap: 8px; }
  table { font-size: 13.5px; }
  th, td { padding-right: 6px; }
  th + td, th + th { padding-left: 6px; }
  #family td { min-width: 58px; }
  #budgets th, #budgets td { padding-right: 2px; font-size: 13px; }
  thead th, tbody th { white-space: normal; }
}
@media print {
  body { max-width: none; padding: 0; font-size: 11pt; }
  details { display: none; }
  figure, .card, .cell, tr, .figures { break-inside: avoid; }
  h2, h3, h4 { break-after: avoid; }
  .grid { grid-template-columns: repeat(3, 1fr); } .pair, .cells { grid-template-columns: repeat(2, 1fr); }
  * { -webkit-print-color-adjust: exact; print-color-adjust: exact; }
}
)";
    for (std::size_t i = 0; i < palette.size(); ++i)
        text += fmt::format(".c{0} {{ --c: var(--c{0}); --on: var(--on{0}); }}\n", i);
    return text;
}

}  // namespace hwnas::svg
