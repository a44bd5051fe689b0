/*
 * The offloads of taps, by their bits in TUNSETOFFLOAD. The C library's headers may be older than
 * segmentation of UDP (Linux 6.2).
 */
#ifndef BANTAM_DEVICES_VIRTIO_NET_TAP_H
#define BANTAM_DEVICES_VIRTIO_NET_TAP_H

#include <linux/if_tun.h>

#ifndef TUN_F_USO4
#define TUN_F_USO4 0x20
#define TUN_F_USO6 0x40
#endif

#define NET_TAP_USO      ((u32)(TUN_F_USO4 | TUN_F_USO6))
#define NET_TAP_OFFLOADS (NET_TAP_USO | (u32)(TUN_F_CSUM | TUN_F_TSO4 | TUN_F_TSO6 | TUN_F_TSO_ECN))

#endif
