// SPDX-License-Identifier: MIT
// A headless Chromium over the DevTools protocol, by two pipes: opens a page at a width and in a colour scheme, asks it
// questions, and says what it loaded.
#pragma once

#include <nlohmann/json.hpp>

#include <chrono>
#include <csignal>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <optional>
#include <stdexcept>
#include <string>
#include <vector>

#include <fcntl.h>
#include <poll.h>
#include <sys/wait.h>
#include <unistd.h>

namespace hwnas_test {

/// The browser of $HWNAS_CHROMIUM, or the first of the usual names in $PATH.
inline std::optional<std::string> chromium() {
    if (const char* named = std::getenv("HWNAS_CHROMIUM"); named && *named) return named;
    const char* path = std::getenv("PATH");
    std::string rest = path ? path : "";
    while (!rest.empty()) {
        const auto colon = rest.find(':');
        const std::string directory = rest.substr(0, colon);
        rest = colon == std::string::npos ? "" : rest.substr(colon + 1);
        for (const char* name : {"chromium", "chromium-browser", "google-chrome", "google-chrome-stable"})
            if (const auto file = directory + "/" + name; ::access(file.c_str(), X_OK) == 0) return file;
    }
    return {};
}

class Browser {
public:
    using Json = nlohmann::json;

    Browser(const std::string& program, const std::filesystem::path& profile) {
        int to[2], from[2];
        if (::pipe(to) != 0 || ::pipe(from) != 0) throw std::runtime_error("browser: no pipes");
        const std::string data = "--user-data-dir=" + profile.string();
        process_ = ::fork();
        if (process_ == 0) {
            // Copied upwards first: 3 and 4 may be among the four.
            const int in = ::fcntl(to[0], F_DUPFD, 20), out = ::fcntl(from[1], F_DUPFD, 20),
                      null = ::open("/dev/null", O_RDWR);
            ::dup2(null, 0), ::dup2(null, 1), ::dup2(null, 2), ::dup2(in, 3), ::dup2(out, 4);
            for (int other = 5; other < 64; ++other) ::close(other);
            ::setpgid(0, 0);
            ::execl(program.c_str(), program.c_str(), "--headless", "--no-sandbox", "--disable-gpu",
                    "--disable-dev-shm-usage", "--no-first-run", "--disable-background-networking",
                    "--remote-debugging-pipe", data.c_str(), "about:blank", static_cast<char*>(nullptr));
            ::_exit(127);
        }
        ::close(to[0]), ::close(from[1]);
        write_ = to[1], read_ = from[0];
        const auto target = call("Target.createTarget", {{"url", "about:blank"}})["targetId"];
        session_ = call("Target.attachToTarget", {{"targetId", target}, {"flatten", true}})["sessionId"];
        call("Page.enable");
        call("Network.enable");
        call("Runtime.enable");
    }
    Browser(const Browser&) = delete;
    Browser& operator=(const Browser&) = delete;
    ~Browser() {
        ::close(write_), ::close(read_);
        ::kill(-process_, SIGKILL), ::kill(process_, SIGKILL);
        ::waitpid(process_, nullptr, 0);
    }

    /// What it loaded, the page itself first; and what it complained of.
    struct Loaded {
        std::vector<std::string> requests, complaints;
    };
    Loaded open(const std::filesystem::path& page, int width, const std::string& scheme,
                const std::string& media = "screen") {
        call("Emulation.setDeviceMetricsOverride",
             {{"width", width}, {"height", 900}, {"deviceScaleFactor", 1}, {"mobile", false}});
        call(
            "Emulation.setEmulatedMedia",
            {{"media", media}, {"features", Json::array({Json{{"name", "prefers-color-scheme"}, {"value", scheme}}})}});
        loaded_ = {}, fired_ = false;
        call("Page.navigate", {{"url", "file://" + std::filesystem::absolute(page).string()}});
        while (!fired_) handle(message());
        // What a page asks for late comes with the next frames.
        evaluate("new Promise(done => requestAnimationFrame(() => requestAnimationFrame(() => done(0))))");
        return loaded_;
    }
    /// The value of a JavaScript expression; of a promise, what it promised.
    Json evaluate(const std::string& expression) {
        const auto answer =
            call("Runtime.evaluate", {{"expression", expression}, {"returnByValue", true}, {"awaitPromise", true}});
        if (answer.contains("exceptionDetails"))
            throw std::runtime_error("browser: " + answer["exceptionDetails"].dump());
        return answer["result"].value("value", Json());
    }
    /// The whole page, a PNG.
    std::string screenshot() {
        return decoded(call("Page.captureScreenshot", {{"captureBeyondViewport", true}})["data"]);
    }
    /// The page on paper, a PDF.
    std::string pdf() { return decoded(call("Page.printToPDF", {{"printBackground", true}})["data"]); }

private:
    static std::string decoded(const std::string& base64) {
        const std::string_view digits = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
        std::string bytes;
        unsigned held = 0, bits = 0;
        for (const char c : base64) {
            const auto digit = digits.find(c);
            if (digit == std::string_view::npos) break;
            held = (held << 6 | static_cast<unsigned>(digit)) & 0xFFFFFF, bits += 6;
            if (bits >= 8) bits -= 8, bytes += static_cast<char>(held >> bits & 255);
        }
        return bytes;
    }
    Json call(const std::string& method, const Json& parameters = Json::object()) {
        const int id = ++last_;
        Json request{{"id", id}, {"method", method}, {"params", parameters}};
        if (!session_.empty()) request["sessionId"] = session_;
        const std::string text = request.dump();
        std::string_view rest(text.c_str(), text.size() + 1);
        while (!rest.empty()) {
            const auto wrote = ::write(write_, rest.data(), rest.size());
            if (wrote <= 0) throw std::runtime_error("browser: has gone");
            rest.remove_prefix(static_cast<std::size_t>(wrote));
        }
        for (;;) {
            auto answer = message();
            if (answer.value("id", 0) == id) {
                if (answer.contains("error")) throw std::runtime_error("browser: " + answer["error"].dump());
                return answer["result"];
            }
            handle(answer);
        }
    }
    void handle(const Json& event) {
        const std::string method = event.value("method", "");
        if (method == "Page.loadEventFired") fired_ = true;
        if (method == "Network.requestWillBeSent") loaded_.requests.push_back(event["params"]["request"]["url"]);
        if (method == "Runtime.consoleAPICalled" || method == "Runtime.exceptionThrown")
            loaded_.complaints.push_back(event["params"].dump());
    }
    Json message() {
        for (;;) {
            if (const auto end = buffer_.find('\0'); end != std::string::npos) {
                auto json = Json::parse(buffer_.substr(0, end));
                buffer_.erase(0, end + 1);
                return json;
            }
            pollfd waiting{read_, POLLIN, 0};
            if (::poll(&waiting, 1, 60'000) <= 0) throw std::runtime_error("browser: no answer in a minute");
            char block[65'536];
            const auto got = ::read(read_, block, sizeof block);
            if (got <= 0) throw std::runtime_error("browser: has ended");
            buffer_.append(block, static_cast<std::size_t>(got));
        }
    }

    ::pid_t process_ = -1;
    int write_ = -1, read_ = -1, last_ = 0;
    std::string session_, buffer_;
    bool fired_ = false;
    Loaded loaded_;
};

/// JavaScript that lists what is wrong with how a page is laid out: texts of a drawing that touch or leave it, boxes
/// that overlap or stand out of the page, letters too small or too faint.
inline constexpr const char* layout_problems = R"js((() => {
  const problems = [], name = e => e.tagName.toLowerCase() + (e.id ? '#' + e.id : '') + ' "' +
      (e.textContent || '').trim().replace(/\s+/g, ' ').slice(0, 40) + '"';
  const root = document.documentElement, wide = root.clientWidth;
  if (root.scrollWidth > wide) problems.push('the page is ' + root.scrollWidth + ' wide in a window of ' + wide);
  const touch = (a, b, slack) => Math.min(a.right, b.right) - Math.max(a.left, b.left) > slack &&
      Math.min(a.bottom, b.bottom) - Math.max(a.top, b.top) > slack;
  const rgb = text => (text.match(/[\d.]+/g) || []).map(Number);
  const luminance = c => [0.2126, 0.7152, 0.0722].reduce((sum, w, i) => {
    const v = c[i] / 255;
    return sum + w * (v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4);
  }, 0);
  const contrast = (a, b) => {
    const x = luminance(rgb(a)) + 0.05, y = luminance(rgb(b)) + 0.05;
    return Math.max(x, y) / Math.min(x, y);
  };
  const behind = e => {
    for (; e; e = e.parentElement) {
      const colour = getComputedStyle(e).backgroundColor, parts = rgb(colour);
      if (parts.length === 3 || parts[3] > 0.99) return colour;
    }
    return 'rgb(255, 255, 255)';
  };
  for (const svg of document.querySelectorAll('svg')) {
    const box = svg.getBoundingClientRect(), what = svg.getAttribute('aria-label');
    if (box.width < 40 || box.height < 20) problems.push(what + ': is ' + box.width + ' x ' + box.height);
    const texts = [...svg.querySelectorAll('text')], boxes = texts.map(t => t.getBoundingClientRect());
    const scale = box.width / svg.viewBox.baseVal.width;
    texts.forEach((t, i) => {
      const b = boxes[i], style = getComputedStyle(t), size = parseFloat(style.fontSize) * scale;
      if (b.left < box.left - 1 || b.right > box.right + 1 || b.top < box.top - 1 || b.bottom > box.bottom + 1)
        problems.push(what + ': ' + name(t) + ' leaves the drawing');
      if (size < 8.5) problems.push(what + ': ' + name(t) + ' has letters of ' + size.toFixed(1) + ' px');
      for (let j = 0; j < i; ++j)
        if (touch(b, boxes[j], 1.5)) problems.push(what + ': ' + name(t) + ' touches ' + name(texts[j]));
      const disc = t.previousElementSibling,
            ground = t.classList.contains('on') ? getComputedStyle(disc).fill : behind(svg);
      const seen = contrast(style.fill, ground);
      if (seen < 4.5) problems.push(what + ': ' + name(t) + ' has a contrast of ' + seen.toFixed(2));
    });
    for (const mark of svg.querySelectorAll('.mark, .chip, .curve, .edge')) {
      const style = getComputedStyle(mark), ink = style.fill === 'none' ? style.stroke : style.fill;
      if (contrast(ink, behind(svg)) < 3) problems.push(what + ': a mark has a contrast below 3');
    }
  }
  for (const e of document.querySelectorAll('h1, h2, h3, h4, p, td, th, dt, dd, li, figcaption, summary, code, span')) {
    if (!e.textContent.trim() || !e.getClientRects().length) continue;
    const seen = contrast(getComputedStyle(e).color, behind(e));
    if (seen < 4.5) problems.push(name(e) + ' has a contrast of ' + seen.toFixed(2));
  }
  for (const e of document.querySelectorAll('body *')) {
    if (e.closest('.scroll') && !e.classList.contains('scroll') || e.closest('svg svg, svg *')) continue;
    const b = e.getBoundingClientRect();
    if (b.width && (b.right > wide + 1 || b.left < -1)) problems.push(name(e) + ' stands out of the page');
  }
  for (const parent of document.querySelectorAll('header, main, section, figure, .pair, .grid, .cells, .card, .cell, .beside, .figures')) {
    const children = [...parent.children].filter(c => c.getBoundingClientRect().height > 0);
    children.forEach((c, i) => {
      for (let j = 0; j < i; ++j)
        if (touch(c.getBoundingClientRect(), children[j].getBoundingClientRect(), 1))
          problems.push(name(c) + ' overlaps ' + name(children[j]));
    });
  }
  for (const e of document.querySelectorAll('section')) {
    if (!e.querySelector('h2') || e.getBoundingClientRect().height < 60) problems.push(name(e) + ' is empty');
  }
  return problems;
})())js";

}  // namespace hwnas_test
