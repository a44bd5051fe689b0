/*
 * The host's program at a network's other end (net.py), and what it does when frames of type 0x88b5
 * ask for it: one that begins with "e" comes back; "s" and two 16-bit numbers ask for so many frames
 * that long, which begin with "d" and their number.
 *
 * The device is misuse.h's `v`.
 */
#ifndef GUEST_PEER_H
#define GUEST_PEER_H

#include "misuse.h"
#include "net.h"

#define PLAIN_SIZE 60u

/* The frame that was prepared, and the one that was taken last. */
extern u8 frame[NET_FRAME_MAX + 1], taken[NET_FRAME_MAX + 1];

void prepare_frame(char what, u32 one, u32 two);
void prepare_echo(void);

/* Waits for a frame whose payload begins so; others are thrown away. */
void wait_for(char what, u32 one);
/* Waits until the echo that was prepared last is back. */
void expect_echo(void);

void ask_for_frames(u32 count, u32 bytes);

/* Good service, for misuse_run(): a frame goes there and comes back. */
void echo_works(u32 number);

#endif
