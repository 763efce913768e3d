// The rows operations on whole arrays: work split over threads, partial results combined in order.
#pragma once
