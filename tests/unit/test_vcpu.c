/*
 * vmm/vcpu.c: exits that few hosts have, as KVM would tell them.
 */
#include "tests/unit/test.h"

#include <linux/kvm.h>

#include "vmm/loop.h"
#include "vmm/machine.h"
#include "vmm/vcpu.h"

struct world {
	struct machine machine;
	struct kvm_run run;
	struct vcpu vcpu;
};

static int set_up(void **state)
{
	static struct world world;
	static const struct config config;

	memset(&world, 0, sizeof(world));
	world.machine.config = &config;
	world.machine.end_wake.source.fd = -1;
	pthread_mutex_init(&world.machine.lock, NULL);
	world.vcpu = (struct vcpu){.machine = &world.machine, .fd = -1, .run = &world.run};
	*state = &world;
	return 0;
}

static int tear_down(void **state)
{
	struct world *world = *state;

	pthread_mutex_destroy(&world->machine.lock);
	return 0;
}

/* It goes on, a little later; whatever else the exit was for is done as well. */
static void test_a_bus_lock(void **state)
{
	static const u32 reasons[] = {KVM_EXIT_X86_BUS_LOCK, KVM_EXIT_INTR};
	struct world *world = *state;

	for (size_t i = 0; i < ARRAY_LEN(reasons); i++) {
		const u64 start = clock_now_ns();

		world->run.exit_reason = reasons[i];
		world->run.flags = KVM_RUN_X86_BUS_LOCK;
		for (unsigned n = 0; n < 20; n++)
			vcpu_handle_exit(&world->vcpu);
		assert_true(clock_now_ns() - start >= 20 * 1000000ULL);
		assert_int_equal(world->vcpu.exits[reasons[i]], 20);
	}
	assert_false(machine_ended(&world->machine));
}

static void test_no_interrupt_for_long(void **state)
{
	struct world *world = *state;

	world->run.exit_reason = KVM_EXIT_NOTIFY;
	for (unsigned n = 0; n < 3; n++)
		vcpu_handle_exit(&world->vcpu);
	assert_int_equal(world->vcpu.exits[KVM_EXIT_NOTIFY], 3);
	assert_false(machine_ended(&world->machine));
	world->run.notify.flags = KVM_NOTIFY_CONTEXT_INVALID;
	vcpu_handle_exit(&world->vcpu);
	assert_true(machine_ended(&world->machine));
	assert_int_equal(world->machine.verdict.reason, VERDICT_INTERNAL_ERROR);
	assert_says(world->machine.verdict.detail, "lost the guest's state");
}

static void test_an_exit_that_nobody_knows(void **state)
{
	struct world *world = *state;

	world->run.exit_reason = 4711;
	vcpu_handle_exit(&world->vcpu);
	assert_int_equal(world->vcpu.exits[EXIT_REASONS - 1], 1);
	assert_int_equal(world->machine.verdict.reason, VERDICT_INTERNAL_ERROR);
	assert_says(world->machine.verdict.detail, "exit reason 4711");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_a_bus_lock, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_no_interrupt_for_long, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_an_exit_that_nobody_knows, set_up, tear_down),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
