/*
 * What is asked of a network's peer, see peer.h.
 */
#include "peer.h"

u8 frame[NET_FRAME_MAX + 1], taken[NET_FRAME_MAX + 1];

static u32 serial;

void prepare_frame(char what, u32 one, u32 two)
{
	struct net_ethernet *ethernet = (struct net_ethernet *)frame;

	memset(frame, 0, PLAIN_SIZE);
	memset(ethernet->to, 0xff, sizeof(ethernet->to));
	net_read_mac(&v, ethernet->from);
	ethernet->type[0] = NET_TYPE_HIGH;
	ethernet->type[1] = NET_TYPE_LOW;
	frame[14] = (u8)what;
	memcpy(frame + 15, &one, 2);
	memcpy(frame + 17, &two, 2);
}

void prepare_echo(void)
{
	prepare_frame('e', ++serial, 0);
}

void wait_for(char what, u32 one)
{
	u16 number;

	do {
		while (!net_take(&v, taken))
			pause();
		memcpy(&number, taken + 15, sizeof(number));
	} while (taken[12] != NET_TYPE_HIGH || taken[13] != NET_TYPE_LOW || taken[14] != what ||
		 number != (u16)one);
}

void expect_echo(void)
{
	wait_for('e', serial);
	if (memcmp(taken, frame + 6, 6))
		print(" WRONG: an echo for somebody else");
}

void ask_for_frames(u32 count, u32 bytes)
{
	prepare_frame('s', count, bytes);
	net_send(&v, NULL, frame, PLAIN_SIZE);
}

void echo_works(u32 number)
{
	(void)number;
	prepare_echo();
	net_send(&v, NULL, frame, PLAIN_SIZE);
	expect_echo();
}
