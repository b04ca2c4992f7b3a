// SPDX-License-Identifier: MIT
#include <hwnas/autodiff/backward.hpp>
#include <hwnas/autodiff/program.hpp>
#include <hwnas/ops/multiply.hpp>
#include <hwnas/ops/relu.hpp>
#include <hwnas/ops/scale.hpp>
#include <hwnas/ops/sum.hpp>

#include "support/catch.hpp"
#include "support/random_tensor.hpp"

namespace autodiff_program_test {

using namespace hwnas;
using namespace hwnas::testing;

namespace {
const char* const reading =
    "tensor: a value of a recorded step is read or written before the step has run; keep the tensor and read it after "
    "Program::run()";
using V = Variable<float>;
}  // namespace

TEST_CASE("a program that was never recorded says so", "[autodiff]") {
    const Program none;
    CHECK_FALSE(none.defined());
    CHECK(none.size() == 0);
    CHECK(none.memory() == 0);
    CHECK_THROWS_WITH(none.run(), "program: nothing has been recorded");
    CHECK_THROWS_WITH(none.print(), "program: nothing has been recorded");
}

TEST_CASE("memory plan: places never overlap, are aligned, and holes are used again", "[autodiff][program]") {
    detail::MemoryPlan plan;
    struct Place {
        std::size_t offset, bytes;
    };
    std::vector<Place> live;
    std::size_t in_use = 0, peak = 0;
    bool sound = true;
    const auto rounded = [](std::size_t bytes) { return (std::max<std::size_t>(bytes, 1) + 63) / 64 * 64; };
    for (std::uint32_t step = 0; step < 4000; ++step) {
        const auto w = random::words_at(random::Key{1, 2}, step, 0);
        if (live.empty() || (live.size() < 60 && w.w[0] % 2 == 0)) {
            const std::size_t bytes = w.w[1] % (w.w[2] % 8 == 0 ? 100'000 : 700);
            const std::size_t offset = plan.place(bytes);
            sound = sound && offset % 64 == 0 && offset + bytes <= plan.size();
            for (const auto& other : live)
                sound =
                    sound && (offset + rounded(bytes) <= other.offset || other.offset + rounded(other.bytes) <= offset);
            live.push_back({offset, bytes});
            in_use += rounded(bytes);
            peak = std::max(peak, in_use);
        } else {
            const std::size_t which = w.w[1] % live.size();
            plan.vacate(live[which].offset, live[which].bytes);
            in_use -= rounded(live[which].bytes);
            live.erase(live.begin() + static_cast<std::ptrdiff_t>(which));
        }
    }
    CHECK(sound);
    CHECK(plan.size() >= peak);
    CHECK(plan.size() < 2 * peak);
    for (const auto& place : live) plan.vacate(place.offset, place.bytes);
    const auto size = plan.size();
    CHECK(plan.place(size) == 0);  // all holes have grown together
    CHECK(plan.size() == size);
}

TEST_CASE("memory plan: what was released is given again, growth uses a hole at the end", "[autodiff][program]") {
    detail::MemoryPlan plan;
    const auto a = plan.place(100), b = plan.place(64);
    CHECK(a == 0);
    CHECK(b == 128);
    plan.vacate(a, 100);
    CHECK(plan.place(1) == 0);
    CHECK(plan.place(64) == 64);
    plan.vacate(b, 64);
    CHECK(plan.place(1000) == 128);
    CHECK(plan.size() == 128 + 1024);
}

TEST_CASE("a recorded step runs as often as one likes on changing inputs, kept tensors hold its values",
          "[autodiff][program]") {
    const auto device = test_device();
    const auto x = Tensor<float>::full({5}, 1, device);
    Tensor<float> kept, middle;
    const auto program = Program::record(device, [&] {
        const V square = V(x) * V(x);
        middle = square.value();
        kept = relu(square + V(x)).value();
    });
    CHECK(program.defined());
    CHECK(program.size() == 3);
    CHECK_FALSE(Program().defined());
    for (const float value : {2.0f, 3.0f, -0.5f}) {
        x.assign(value);
        program.run();
        CHECK(middle.to_vector() == std::vector<float>(5, value * value));
        CHECK(kept.to_vector() == std::vector<float>(5, std::max(0.0f, value * value + value)));
    }
    const Program copy = program;
    copy.run_entry(0);
    CHECK(std::string(copy.kernel(0)) == "multiply");
    CHECK(std::string(copy.kernel(2)) == "relu_forward");
}

TEST_CASE("nothing runs while a step is recorded, and its values cannot be read there", "[autodiff][program]") {
    const auto device = test_device();
    const auto x = Tensor<float>::full({2}, 1, device);
    Tensor<float> kept;
    const auto program = Program::record(device, [&] {
        submit(device, contract::Fill<float>{x.data(), 2, 9.0f});
        CHECK(x.to_vector() == std::vector<float>(2, 1));  // outside tensors may be read: they hold what they held
        kept = Tensor<float>::empty({2}, device);
        submit(device, contract::Fill<float>{kept.data(), 2, 4.0f});
        CHECK_THROWS_WITH(kept.to_vector(), reading);
        CHECK_THROWS_WITH(kept.rows(0, 1).item(), reading);
        CHECK_THROWS_WITH(kept.assign(1.0f), reading);
    });
    program.run();
    CHECK(x.to_vector() == std::vector<float>(2, 9));
    CHECK(kept.to_vector() == std::vector<float>(2, 4));
    kept.assign(7.0f);
    CHECK(kept.to_vector() == std::vector<float>(2, 7));
    CHECK_THROWS_WITH(kept.storage()->rebind(x.storage(), 0), "storage: a value of a recorded step cannot be moved");
}

TEST_CASE("one recording at a time on a thread, on one device, an exception ends it", "[autodiff][program]") {
    const auto device = test_device(), other = test_device();
    const auto nothing = [] {};
    CHECK_THROWS_WITH(Program::record(device, [&] { (void)Program::record(device, nothing); }),
                      "program: a step is being recorded on this thread already");
    CHECK(Recording::active() == nullptr);
    CHECK_THROWS_WITH(Program::record(device,
                                      [&] {
                                          const auto t = Tensor<float>::empty({2}, other);
                                          submit(other, contract::Fill<float>{t.data(), 2, 1.0f});
                                      }),
                      "program: a step recorded on cpu uses cpu");
    CHECK(Recording::active() == nullptr);
    Program::record(device, nothing).run();
    CHECK(Tensor<float>::full({1}, 3, device).item() == 3);
}

TEST_CASE("constants made in a step live as long as the program, kept tensors too", "[autodiff][program]") {
    const auto device = test_device();
    const auto x = Tensor<float>::full({3}, 2, device);
    Tensor<float> kept;
    std::weak_ptr<Storage> constant;
    {
        const auto program = Program::record(device, [&] {
            const auto c = Tensor<float>::from({1, 10, 100}, {3}, device);
            CHECK(c.to_vector() == std::vector<float>{1, 10, 100});
            constant = c.storage();
            kept = (V(c) * V(x)).value();
        });
        CHECK_FALSE(constant.expired());
        program.run();
        CHECK(kept.to_vector() == std::vector<float>{2, 20, 200});
    }
    CHECK(kept.to_vector() == std::vector<float>{2, 20, 200});  // a kept tensor keeps the program's block
    kept = {};
    CHECK(constant.expired());
}

TEST_CASE("a program keeps the memory it uses, and says so when a tensor of its own has moved", "[autodiff][program]") {
    const auto device = test_device();
    Tensor<float> y;
    const auto of_nobody = [&] {
        const auto x = Tensor<float>::full({3}, 2, device);
        return Program::record(device, [&] { y = (V(x) * V(x)).value(); });
    }();
    of_nobody.run();  // nobody else holds x any more
    CHECK(y.to_vector() == std::vector<float>{4, 4, 4});

    const auto x = Tensor<float>::full({3}, 3, device), block = Tensor<float>::full({64}, 5, device);
    const auto program = Program::record(device, [&] { y = (V(x) * V(x)).value(); });
    program.run();
    CHECK(y.to_vector() == std::vector<float>{9, 9, 9});
    x.storage()->rebind(block.storage(), 64);
    CHECK(x.to_vector() == std::vector<float>{5, 5, 5});
    CHECK_THROWS_WITH(program.run(), Catch::Matchers::ContainsSubstring("has moved since it was recorded"));
    const auto again = Program::record(device, [&] { y = (V(x) * V(x)).value(); });
    again.run();
    CHECK(y.to_vector() == std::vector<float>{25, 25, 25});
}

TEST_CASE("a chain needs two places, not one for each of its tensors", "[autodiff][program]") {
    const auto device = test_device();
    const auto x = Tensor<float>::full({1024}, 1, device);
    Tensor<float> kept;
    const auto program = Program::record(device, [&] {
        V y = V(x);
        for (int i = 0; i < 50; ++i) y = y + V(x);
        kept = y.value();
    });
    CHECK(program.memory() <= 2 * 4096);
    CHECK(program.size() == 50);
    program.run();
    CHECK(kept.to_vector() == std::vector<float>(1024, 51));
}

TEST_CASE("a recorded training step frees gradients as it goes and equals eager bit for bit", "[autodiff][program]") {
    const auto device = test_device();
    const std::int64_t n = 4096;
    const auto x = V::leaf(random_tensor<float>({n}, 1, device));
    const auto step = [&] {
        V y = x;
        for (int i = 0; i < 20; ++i) y = relu(y * 1.01 + y);
        return mean(y * y);
    };
    const auto eager = step();
    backward(eager);
    const auto expected = x.grad().to_vector();
    x.set_grad(Tensor<float>::full({n}, 0, device));
    V loss;
    const auto program = Program::record(device, [&] { loss = step(), backward(loss); });
    CHECK(program.memory() < 26u * 4 * n);  // 63 values and their gradients would be 126
    for (int i = 0; i < 2; ++i) {
        x.grad().assign(0);
        program.run();
        CHECK(loss.value().item() == eager.value().item());
        CHECK(x.grad().to_vector() == expected);
    }
}

TEST_CASE("guards are read at every run, also from a flag the step itself computes", "[autodiff][program]") {
    const auto device = test_device();
    const auto outside = Tensor<std::int32_t>::scalar(0, device);
    const auto x = Tensor<float>::full({2}, 0, device);
    const auto program = Program::record(device, [&] {
        const GuardScope guard(Guard{outside.data(), 2});
        submit(device, contract::Scale<float>{x.data(), x.data(), 2, 3.0f, 0});
    });
    x.assign(1.0f);
    for (const int flag : {0, 2, 2, 1}) {
        outside.assign(flag);
        program.run();
    }
    CHECK(x.to_vector() == std::vector<float>(2, 9));

    x.assign(1.0f);
    const auto inside = Program::record(device, [&] {
        const auto flag = Tensor<std::int32_t>::empty({1}, device);  // a place in the block
        submit(device,
               contract::Fill<float>{reinterpret_cast<float*>(flag.data()), 1, std::bit_cast<float>(std::int32_t{5})});
        for (const int value : {4, 5}) {
            const GuardScope guard(Guard{flag.data(), value});
            submit(device, contract::Scale<float>{x.data(), x.data(), 2, value == 5 ? 3.0f : 100.0f, 0});
        }
    });
    inside.run();
    inside.run();
    CHECK(x.to_vector() == std::vector<float>(2, 9));
}

TEST_CASE("labels nest, print shows them and the guards", "[autodiff][program]") {
    const auto device = test_device();
    const auto flag = Tensor<std::int32_t>::scalar(0, device);
    const auto x = Tensor<float>::full({2}, 1, device);
    const auto program = Program::record(device, [&] {
        const LabelScope cell("cell_0");
        relu(V(x));
        {
            const LabelScope node("node_1");
            const GuardScope guard(Guard{flag.data(), 1});
            relu(V(x));
        }
        relu(V(x));
    });
    CHECK(program.label(0) == "cell_0");
    CHECK(program.label(1) == "cell_0/node_1");
    CHECK(program.label(2) == "cell_0");
    CHECK(LabelScope::current().empty());
    const auto text = program.print();
    CHECK_THAT(text,
               Catch::Matchers::ContainsSubstring("program: 3 kernel calls in 3 parts, 0.0 MB planned, device cpu"));
    CHECK_THAT(text, Catch::Matchers::ContainsSubstring("    1  ? relu_forward                     cell_0/node_1"));
}

}  // namespace autodiff_program_test
