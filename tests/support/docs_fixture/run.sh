#!/bin/sh
# the epoch {} is lost
program_verbs="search info best train evaluate"
case " $program_verbs test shell " in
esac
