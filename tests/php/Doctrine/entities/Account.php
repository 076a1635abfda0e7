<?php

declare(strict_types=1);

namespace HaDsn\Tests\Doctrine\entities;

use Doctrine\ORM\Mapping as ORM;

#[ORM\Entity]
#[ORM\Table(name: 'account')]
class Account
{
    #[ORM\Id]
    #[ORM\Column(type: 'integer')]
    public int $id;

    #[ORM\Column(type: 'integer')]
    public int $balance = 0;

    public function __construct(int $id)
    {
        $this->id = $id;
    }
}
