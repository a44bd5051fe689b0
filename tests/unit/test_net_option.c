/* vmm/net_option.c: the values of --net and --publish, good and bad. */
#include "tests/unit/test.h"

#include <stdlib.h>

#include "vmm/net_option.h"

static void test_good_nets(void **state)
{
	static const struct {
		const char *value;
		enum net_kind kind;
		const char *name;
		int fd;
		unsigned queues;
	} table[] = {
		{"user", NET_USER, "", -1, 1},
		{"user,mac=02:00:00:00:00:01", NET_USER, "", -1, 1},
		{"tap=tap0", NET_TAP, "tap0", -1, 1},
		{"tap=tap0,queues=7", NET_TAP, "tap0", -1, 7},
		{"tap=a,,b,mac=52:54:00:AB:cd:ef,queues=2", NET_TAP, "a,b", -1, 2},
		{"fd=3", NET_FD, "3", 3, 1},
		{"socket=/run/a socket", NET_SOCKET, "/run/a socket", -1, 1},
		{"socket=/run/x=1,,2", NET_SOCKET, "/run/x=1,2", -1, 1},
	};
	struct net_config net;
	struct error err;

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(table); i++) {
		if (net_option_parse(&net, table[i].value, &err))
			fail_msg("%s", err.text);
		assert_int_equal(net.kind, table[i].kind);
		assert_string_equal(net.name, table[i].name);
		assert_int_equal(net.fd, table[i].fd);
		assert_int_equal(net.queues, table[i].queues);
		assert_int_equal(net.has_mac, strstr(table[i].value, "mac=") != NULL);
		assert_false(limit_is_set(&net.limit));
		free(net.name);
	}
	assert_int_equal(net_option_parse(&net, "user,bps=125M,pps=9k", &err), 0);
	assert_int_equal(net.limit.bytes.rate, 125 * MIB);
	assert_int_equal(net.limit.requests.rate, 9216);
	free(net.name);
}

static void test_macs(void **state)
{
	static const u8 expected[] = {0x52, 0x54, 0x00, 0xab, 0xcd, 0xef};
	static const struct {
		const char *value, *says;
	} bad[] = {
		{"user,mac=", "is no address"},
		{"user,mac=52:54:00:ab:cd", "is no address"},
		{"user,mac=52:54:00:ab:cd:ef:00", "is no address"},
		{"user,mac=52:54:00:ab:cd:eg", "is no address"},
		{"user,mac=5:54:00:ab:cd:ef0", "is no address"},
		{"user,mac=52-54-00-ab-cd-ef", "is no address"},
		{"user,mac=+2:54:00:ab:cd:ef", "is no address"},
		{"user,mac=01:00:5e:00:00:01", "multicast"},
		{"user,mac=ff:ff:ff:ff:ff:ff", "multicast"},
		{"user,mac=00:00:00:00:00:00", "no interface's"},
	};
	struct net_config net;
	struct error err;

	(void)state;
	assert_int_equal(net_option_parse(&net, "user,mac=52:54:00:AB:cd:ef", &err), 0);
	assert_memory_equal(net.mac, expected, sizeof(expected));
	free(net.name);
	for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
		assert_int_equal(net_option_parse(&net, bad[i].value, &err), -1);
		assert_says(err.text, bad[i].says);
		free(net.name);
	}
}

static void test_bad_nets(void **state)
{
	static const struct {
		const char *value, *says;
	} bad[] = {
		{"", "it is user"},
		{"users", "it is user"},
		{"user=1", "it is user"},
		{"tap", "it is user"},
		{"tap=", "it is user"},
		{"fd=", "it is user"},
		{"socket=", "it is user"},
		{",user", "it is user"},
		{"fd=2", "above 2"},
		{"fd=x", "above 2"},
		{"fd=-1", "above 2"},
		{"fd=99999999999", "above 2"},
		{"user,queues=2", "only a tap"},
		{"tap=t,queues=0", "1 to 7"},
		{"tap=t,queues=8", "1 to 7"},
		{"tap=t,queues=x", "1 to 7"},
		{"tap=t,vhost", "'vhost' is not known"},
		{"user,bps=1000", "bps=1000: it is a number a second, 1024 at least"},
		{"user,pps=none", "1 at least"},
		{"tap=t,", "'' is not known"},
		{"user,mac=02:00:00:00:00:01,0123456789012345678901234567890123456789012345678901234567890123",
		 "is not known"},
	};
	struct net_config net;
	struct error err;

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
		if (net_option_parse(&net, bad[i].value, &err) == 0)
			fail_msg("'%s' is taken", bad[i].value);
		assert_says(err.text, bad[i].says);
		free(net.name);
	}
}

static void test_publish(void **state)
{
	static const struct {
		const char *value, *address;
		u16 host, guest;
		bool udp;
	} good[] = {
		{"8080:80", "", 8080, 80, false},
		{"8080:80/tcp", "", 8080, 80, false},
		{"53:53/udp", "", 53, 53, true},
		{"127.0.0.1:2222:22", "127.0.0.1", 2222, 22, false},
		{"127.0.0.1:2222:22/udp", "127.0.0.1", 2222, 22, true},
		{"[::1]:1:65535", "::1", 1, 65535, false},
		{"::1:5:6", "::1", 5, 6, false},
	};
	static const char *const bad[] = {
		"",
		"80",
		"80:",
		":80",
		"0:80",
		"80:0",
		"65536:1",
		"1:65536",
		"a:b",
		"80:80/sctp",
		"80:80/",
		"1.2.3:80:80",
		"x:80:80",
		"[::1:80:80",
		"1.2.3.4:80:",
		"80 :80",
		"1.2.3.4::80",
		"80:80/udp/udp",
		"0000000000000000000000000000000000000000000000000000000000000000000000000000001:1",
	};
	struct net_publish publish;
	struct error err;

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(good); i++) {
		if (net_publish_parse(&publish, good[i].value, &err))
			fail_msg("%s", err.text);
		assert_string_equal(publish.address, good[i].address);
		assert_int_equal(publish.host, good[i].host);
		assert_int_equal(publish.guest, good[i].guest);
		assert_int_equal(publish.udp, good[i].udp);
	}
	for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
		if (net_publish_parse(&publish, bad[i], &err) == 0)
			fail_msg("'%s' is taken", bad[i]);
		assert_says(err.text, "--publish");
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_good_nets),
		cmocka_unit_test(test_macs),
		cmocka_unit_test(test_bad_nets),
		cmocka_unit_test(test_publish),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
